package predcache

import "fmt"

// A fargateSize is what Fargate offers for one number of CPU units: memory from least to most, in MiB, in steps.
type fargateSize struct{ cpu, least, most, step int }

// fargateSizes are those of Linux tasks ("Troubleshoot Amazon ECS task definition invalid CPU or memory errors", Amazon ECS
// Developer Guide).
var fargateSizes = []fargateSize{
	{256, 512, 2048, 1024}, // and 1024, 2048
	{512, 1024, 4096, 1024},
	{1024, 2048, 8192, 1024},
	{2048, 4096, 16384, 1024},
	{4096, 8192, 30720, 1024},
	{8192, 16384, 61440, 4096},
	{16384, 32768, 122880, 8192},
}

// checkSize returns an error if Fargate has no task with these CPU units and this memory in MiB.
func checkSize(cpu, memory int) error {
	var units []int
	for _, s := range fargateSizes {
		if s.cpu != cpu {
			units = append(units, s.cpu)
			continue
		}
		if memory >= s.least && memory <= s.most && (memory == s.least || memory%s.step == 0) {
			return nil
		}
		if cpu == 256 {
			return fmt.Errorf("service.memory is %d: with service.cpu of 256, Fargate takes 512, 1024 or 2048", memory)
		}
		return fmt.Errorf("service.memory is %d: with service.cpu of %d, Fargate takes %d to %d in steps of %d", memory, cpu, s.least, s.most, s.step)
	}
	return fmt.Errorf("service.cpu is %d: Fargate takes %v", cpu, units)
}
