package awstest

// UUID makes an identifier in the usual form from two counters: distinct, without visible order, and the same in each run.
func UUID(a, b uint64) string {
	hi, lo := Mix(a), Mix(a^Mix(b))
	const hex = "0123456789abcdef"
	var u [36]byte
	for i, at := 0, 0; i < 32; i++ {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			u[at] = '-'
			at++
		}
		half := hi
		if i >= 16 {
			half = lo
		}
		u[at] = hex[half>>(60-4*(uint(i)&15))&15]
		at++
	}
	return string(u[:])
}

// Mix is the finalizer of SplitMix64: a bijection whose results look random.
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
