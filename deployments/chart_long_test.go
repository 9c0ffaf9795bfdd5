//go:build long

package deployments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// A cluster is a Kubernetes API server with its etcd. It has no controllers and no nodes: a Deployment makes no pods.
type cluster struct {
	env []string
}

// startCluster starts a cluster and stops it with the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	// An address of this run's own, so that its ports are free.
	ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), 1+rand.IntN(254), 1+rand.IntN(254))
	command{dir: dir}.must(t, "openssl", "genrsa", "-out", "account.key", "2048")
	kubeconfig := object{
		"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": []object{{"name": "test", "cluster": object{"server": "https://" + ip + ":16443", "insecure-skip-tls-verify": true}}},
		"users":    []object{{"name": "test", "user": object{"token": "test"}}},
		"contexts": []object{{"name": "test", "context": object{"cluster": "test", "user": "test"}}},
	}
	text, err := json.Marshal(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"kubeconfig": text, "tokens.csv": []byte("test,admin,admin,system:masters")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, peer := "http://"+ip+":12379", "http://"+ip+":12380"
	log := start(t, dir, "etcd", "--data-dir=etcd", "--listen-client-urls="+client, "--advertise-client-urls="+client, "--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer, "--unsafe-no-fsync")
	more := start(t, dir, "kube-apiserver", "--etcd-servers="+client, "--bind-address="+ip, "--secure-port=16443", "--cert-dir=certificates",
		"--token-auth-file=tokens.csv", "--authorization-mode=AlwaysAllow", "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://test", "--service-account-key-file=account.key", "--service-account-signing-key-file=account.key")
	c := &cluster{env: []string{"KUBECONFIG=" + dir + "/kubeconfig", "HOME=" + dir}}
	for range 300 {
		if _, _, err := c.command().run(t, tool(t, "kubectl"), "get", "--raw", "/readyz"); err == nil {
			return c
		}
		time.Sleep(200 * time.Millisecond) // another process: there is nothing to wait on
	}
	t.Fatalf("the API server is not ready:\n%s\n%s", log, more)
	return nil
}

// start runs a program until the test ends, and returns its log.
func start(t *testing.T, dir, name string, args ...string) *bytes.Buffer {
	t.Helper()
	log := &bytes.Buffer{}
	process := exec.Command(tool(t, name), args...)
	process.Dir, process.Stdout, process.Stderr = dir, log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Process.Signal(syscall.SIGTERM)
		process.Wait()
	})
	return log
}

func (c *cluster) command() command { return command{env: c.env, limit: 10 * time.Minute} }

func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.command().must(t, tool(t, "kubectl"), args...)
}

// accept has the API server validate objects as it would on their way in, without storing them.
func (c *cluster) accept(t *testing.T, objects string) {
	t.Helper()
	cmd := c.command()
	cmd.stdin = objects
	_, stderr, err := cmd.run(t, tool(t, "kubectl"), "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")
	if err != nil {
		t.Errorf("the API server refuses what the chart renders: %v\n%s", err, stderr)
	}
}

// The chart on a real API server: installed as docs/deploy.md says, each value alone, each pair, and values changed at random.
func TestChartOnAnAPIServer(t *testing.T) {
	c := startCluster(t)
	crds, err := filepath.Abs("../.cache/deploy/schemas/crds")
	if err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "apply", "--server-side", "-f", crds)
	c.kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "-f", crds)
	for _, namespace := range []string{"ml", "scores"} { // of all variants
		c.kubectl(t, "create", "namespace", namespace)
	}
	t.Run("install", func(t *testing.T) { installed(t, c) })
	t.Run("each value", func(t *testing.T) {
		sets := map[string]object{}
		for i, v := range chartVariants {
			sets[fmt.Sprintf("v%03d", i)] = values(t, v)
		}
		c.accept(t, helmText(t, sets))
	})
	t.Run("pairs", func(t *testing.T) {
		sets := map[string]object{}
		for alias, variants := range pairs() {
			sets[alias] = values(t, variants...)
		}
		c.accept(t, helmText(t, sets))
	})
	t.Run("changed values", func(t *testing.T) { changed(t, c) })
}

// helmText is what helm renders of sets of values that the chart takes.
func helmText(t *testing.T, sets map[string]object) string {
	t.Helper()
	text, stderr, err := helmAll(t, sets)
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, stderr)
	}
	return text
}

// installed runs the commands of docs/deploy.md, and admits a pod of the Deployment under the restricted standard.
func installed(t *testing.T, c *cluster) {
	c.kubectl(t, "create", "namespace", "predcache")
	c.kubectl(t, "label", "namespace", "predcache", "pod-security.kubernetes.io/enforce=restricted")
	helm := func(args ...string) {
		t.Helper()
		c.command().must(t, tool(t, "helm"), append(args, "--namespace", "predcache")...)
	}
	helm(append([]string{"install", "predcache", chart}, needed...)...)
	var deployment object
	if err := json.Unmarshal([]byte(c.kubectl(t, "get", "deployment", "predcache", "--namespace", "predcache", "--output", "json")), &deployment); err != nil {
		t.Fatal(err)
	}
	template := at(deployment, "spec", "template").(object)
	admit := func(t *testing.T) (stderr string, err error) {
		t.Helper()
		pod, err := json.Marshal(object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "worker"}, "spec": template["spec"]})
		if err != nil {
			t.Fatal(err)
		}
		cmd := c.command()
		cmd.stdin = string(pod)
		_, stderr, err = cmd.run(t, tool(t, "kubectl"), "create", "--namespace", "predcache", "--dry-run=server", "-f", "-")
		return stderr, err
	}
	if stderr, err := admit(t); err != nil {
		t.Errorf("a restricted namespace refuses the pod: %v\n%s", err, stderr)
	}
	// The check is not blind.
	at(template, "spec", "containers", 0).(object)["securityContext"] = object{}
	if stderr, err := admit(t); err == nil || !strings.Contains(stderr, `violates PodSecurity "restricted`) {
		t.Errorf("a restricted namespace takes a pod without a security context: %v\n%s", err, stderr)
	}
	helm("upgrade", "predcache", chart, "--reuse-values", "--set", "serviceMonitor.enabled=true,prometheusRule.enabled=true,autoscaling.enabled=true,autoscaling.age.metric=age")
	c.kubectl(t, "get", "servicemonitor,service,prometheusrule,horizontalpodautoscaler", "predcache", "--namespace", "predcache")
	helm("rollback", "predcache", "1")
	helm("uninstall", "predcache")
}

// changed changes every value in many ways. The API server must take each outcome that the chart takes.
func changed(t *testing.T, c *cluster) {
	var all []object
	for _, v := range chartVariants {
		if v.path == "namespaceOverride" || v.path == "extraObjects" { // that namespace must exist; these are not checked
			continue
		}
		var value any
		if err := yaml.Unmarshal([]byte(v.value), &value); err != nil {
			t.Fatal(err)
		}
		for _, other := range changes(value) {
			text, err := json.Marshal(other)
			if err != nil {
				t.Fatal(err)
			}
			v.value = string(text)
			all = append(all, values(t, v))
		}
	}
	// A thousand of them are a minute's work.
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:min(len(all), 1000)]
	taken := 0
	for batch := range slices.Chunk(all, 500) {
		sets := map[string]object{}
		for i, set := range batch {
			sets[fmt.Sprintf("v%03d", i)] = set
		}
		if _, stderr, err := helmAll(t, sets); err != nil {
			maps.DeleteFunc(sets, func(alias string, _ object) bool { return schemaReports(stderr)[alias] != "" })
		}
		reports := problems(t, sets)
		maps.DeleteFunc(sets, func(alias string, _ object) bool { return reports[alias] != "" })
		taken += len(sets)
		if len(sets) > 0 {
			c.accept(t, helmText(t, sets))
		}
	}
	t.Logf("the chart takes %d of %d sets of values", taken, len(all))
	if taken < len(all)/20 || taken > len(all)*9/10 {
		t.Errorf("the chart takes %d of %d sets of values", taken, len(all))
	}
}

// changes are copies of a value, each with one change somewhere.
func changes(value any) (all []any) {
	for _, other := range []any{"", " ", "a b", "Upper", "a/../b", "..", "-a", "a=b", strings.Repeat("a", 64), -1, 0, 1, 4294967296, 0.5, true, nil, []any{}, object{}} {
		if !reflect.DeepEqual(other, value) {
			all = append(all, other)
		}
	}
	switch value := value.(type) {
	case object:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			for _, other := range changes(value[name]) {
				with := maps.Clone(value)
				with[name] = other
				all = append(all, with)
			}
			without := maps.Clone(value)
			delete(without, name)
			all = append(all, without)
		}
	case []any:
		for i := range value {
			for _, other := range changes(value[i]) {
				with := slices.Clone(value)
				with[i] = other
				all = append(all, with)
			}
			all = append(all, append(slices.Clone(value), value[i]))
		}
	}
	return all
}
