//go:build long

package deployments

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// A docker is a daemon of the test's own.
type docker struct {
	env []string
}

// startDocker starts a daemon that has no network but the host's, and stops it with the test.
func startDocker(t *testing.T) *docker {
	t.Helper()
	root, err := filepath.Abs("../.cache/deploy/docker")
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: a socket's path must be short.
	dir, err := os.MkdirTemp("", "predcache-docker")
	if err != nil {
		t.Fatal(err)
	}
	// What was built is kept, so that the next run compiles only what has changed.
	data := filepath.Join(root, "..", "docker-data")
	socket := "unix://" + dir + "/docker.sock"
	d := &docker{env: []string{
		"PATH=" + root + "/usr/bin:" + root + "/usr/sbin:" + os.Getenv("PATH"), "LD_LIBRARY_PATH=" + root + "/usr/lib/x86_64-linux-gnu",
		"DOCKER_HOST=" + socket, "DOCKER_BUILDKIT=1", "DOCKER_CONFIG=" + dir + "/config", "BUILDKIT_PROGRESS=plain",
	}}
	var log bytes.Buffer
	daemon := exec.Command(root+"/usr/sbin/dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=overlay2",
		"--data-root", data, "--exec-root", dir+"/exec", "--pidfile", dir+"/pid", "--host", socket)
	daemon.Env = append(os.Environ(), d.env...)
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Signal(syscall.SIGTERM)
		daemon.Wait()
		// The daemon leaves the namespace of its containers without a network mounted.
		if err := syscall.Unmount(dir+"/exec/netns/default", 0); err != nil && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("unmounting the containers' network: %v", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for range 150 {
		if _, _, err := d.command().run(t, root+"/usr/bin/docker", "version"); err == nil {
			return d
		}
		time.Sleep(200 * time.Millisecond) // another process: there is nothing to wait on
	}
	t.Fatalf("the daemon did not start:\n%s", log.String())
	return nil
}

func (d *docker) command() command { return command{env: d.env, limit: 30 * time.Minute} }

func (d *docker) must(t *testing.T, args ...string) string {
	t.Helper()
	path, err := filepath.Abs("../.cache/deploy/docker/usr/bin/docker")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(d.command().must(t, path, args...))
}

// builder makes the base image of the build, which can't be pulled here: a shell, this machine's Go, its certificates, and the
// modules as a proxy in a folder, so that the build needs no network.
func (d *docker) builder(t *testing.T, source string) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"bin", "usr/local", "etc/ssl/certs", "tmp", "root", "proxy"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	modules := filepath.Join(t.TempDir(), "mod")
	cache := strings.TrimSpace(command{}.must(t, "go", "env", "GOMODCACHE"))
	proxy := "file://" + cache + "/cache/download," + strings.TrimSpace(command{}.must(t, "go", "env", "GOPROXY"))
	command{dir: source, limit: 5 * time.Minute, env: []string{"GOMODCACHE=" + modules, "GOFLAGS=-modcacherw", "GOPROXY=" + proxy}}.must(t, "go", "mod", "download")
	command{limit: 5 * time.Minute}.must(t, "cp", "-r", modules+"/cache/download/.", filepath.Join(root, "proxy"))
	command{limit: 5 * time.Minute}.must(t, "cp", "-r", runtime.GOROOT(), filepath.Join(root, "usr/local/go"))
	command{}.must(t, "cp", "../.cache/deploy/docker/bin/busybox", filepath.Join(root, "bin/busybox"))
	for _, applet := range []string{"sh", "mkdir", "cp", "touch", "ls"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	command{}.must(t, "cp", "/etc/ssl/certs/ca-certificates.crt", filepath.Join(root, "etc/ssl/certs/"))
	archive := filepath.Join(t.TempDir(), "base.tar")
	command{limit: 5 * time.Minute}.must(t, "tar", "-C", root, "-cf", archive, ".")
	d.must(t, "import", "--change", "ENV PATH=/usr/local/go/bin:/bin GOPROXY=file:///proxy GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOPATH=/go HOME=/root", archive, "golang:test")
	return "golang:test"
}

// snapshot copies the work tree, so that what is edited meanwhile makes no two builds of different sources.
func snapshot(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	list := command{dir: ".."}.must(t, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "Dockerfile", ".dockerignore", "go.mod", "go.sum", "cmd", "internal", "cache", "contract")
	archive := filepath.Join(t.TempDir(), "source.tar")
	command{dir: "..", stdin: list}.must(t, "tar", "--null", "--ignore-failed-read", "--files-from=-", "-cf", archive)
	command{dir: dir}.must(t, "tar", "-xf", archive)
	return dir
}

func TestImage(t *testing.T) {
	d := startDocker(t)
	source := snapshot(t)
	base := d.builder(t, source)
	build := func(tag string, args ...string) {
		t.Helper()
		d.must(t, append([]string{"build", "--network=none", "--tag", tag, "--build-arg", "BUILD_IMAGE=" + base, "--build-arg", "VERSION=v1.2.3-test", "--build-arg", "REVISION=abc"}, append(args, source)...)...)
	}
	of := func(t *testing.T, architecture string) {
		t.Helper()
		tag := "worker:" + architecture
		build(tag, "--platform=linux/"+architecture)
		var inspected []struct {
			Architecture string
			Size         int64
			Config       struct {
				User        string
				Entrypoint  []string
				Cmd         []string
				Labels      map[string]string
				Healthcheck struct{ Test []string }
			}
			RootFS struct{ Layers []string }
		}
		if err := json.Unmarshal([]byte(d.must(t, "image", "inspect", tag)), &inspected); err != nil {
			t.Fatal(err)
		}
		image := inspected[0]
		same(t, "the architecture", image.Architecture, architecture)
		same(t, "the user", image.Config.User, "65532:65532")
		same(t, "the entry", append(image.Config.Entrypoint, image.Config.Cmd...), []string{"/worker", "run"})
		same(t, "the health check", image.Config.Healthcheck.Test, []string{"CMD", "/worker", "health"})
		same(t, "the version", image.Config.Labels["org.opencontainers.image.version"], "v1.2.3-test")
		same(t, "the licence", image.Config.Labels["org.opencontainers.image.licenses"], "Apache-2.0")
		compressed := d.compressed(t, tag)
		t.Logf("%s: %.1f MB, %.1f MB compressed, %d layers", architecture, float64(image.Size)/1e6, float64(compressed)/1e6, len(image.RootFS.Layers))
		if compressed > 20e6 {
			t.Errorf("%s is %d bytes compressed, over 20 MB", architecture, compressed)
		}
	}
	native := "worker:" + runtime.GOARCH
	of(t, runtime.GOARCH)
	t.Run("is made of the same bytes in another place", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "worker")
		command{dir: source, env: []string{"CGO_ENABLED=0"}, limit: 30 * time.Minute}.must(t, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.stamped=v1.2.3-test", "-o", out, "./cmd/worker")
		here, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if there := d.file(t, native, "/worker"); !bytes.Equal(here, there) {
			t.Errorf("two builds differ: %d and %d bytes", len(here), len(there))
		}
	})
	t.Run("takes a binary that was built before", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.MkdirAll(dir+"/linux/"+runtime.GOARCH, 0o755); err != nil {
			t.Fatal(err)
		}
		want := d.file(t, native, "/worker")
		if err := os.WriteFile(dir+"/linux/"+runtime.GOARCH+"/worker", want, 0o755); err != nil {
			t.Fatal(err)
		}
		d.must(t, "build", "--network=none", "--tag", "worker:prebuilt", "--file", source+"/Dockerfile", "--build-arg", "BUILD_IMAGE="+base, "--build-arg", "SOURCE=prebuilt", dir)
		if !bytes.Equal(d.file(t, "worker:prebuilt", "/worker"), want) {
			t.Error("the image has another binary")
		}
	})
	t.Run("has no shell", func(t *testing.T) {
		path, _ := filepath.Abs("../.cache/deploy/docker/usr/bin/docker")
		if out, _, err := d.command().run(t, path, "run", "--rm", "--network=none", "--entrypoint", "/bin/sh", native, "-c", "true"); err == nil {
			t.Errorf("a shell ran: %s", out)
		}
	})
	t.Run("says its version", func(t *testing.T) {
		same(t, "the version", d.must(t, "run", "--rm", "--network=none", native, "version"), "predcache worker v1.2.3-test")
	})
	t.Run("works, read-only and as nobody", func(t *testing.T) { d.runImage(t, native) })
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	t.Run("is there for "+other+" too", func(t *testing.T) { of(t, other) })
}

// compressed is how many bytes a pull would bring: the layers, compressed.
func (d *docker) compressed(t *testing.T, tag string) int64 {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	d.must(t, "save", "--output", archive, tag)
	in, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var n counter
	z := gzip.NewWriter(&n)
	if _, err := io.Copy(z, in); err != nil {
		t.Fatal(err)
	}
	z.Close()
	return int64(n)
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// file is a file of an image.
func (d *docker) file(t *testing.T, tag, path string) []byte {
	t.Helper()
	id := d.must(t, "create", "--network=none", tag)
	defer d.must(t, "rm", id)
	to := filepath.Join(t.TempDir(), "file")
	d.must(t, "cp", id+":"+path, to)
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// runImage has a container work on a queue and a table of the stand-ins that dev/standins/run.sh has started.
func (d *docker) runImage(t *testing.T, tag string) {
	endpoints := map[string]string{"AWS_ENDPOINT_URL_SQS": os.Getenv("PREDCACHE_TEST_SQS_ENDPOINT"), "AWS_ENDPOINT_URL_DYNAMODB": os.Getenv("PREDCACHE_TEST_DYNAMODB_ENDPOINT")}
	for name, value := range endpoints {
		if value == "" {
			t.Fatalf("there are no stand-ins: run this by make deploy-test")
		}
		t.Setenv(name, value)
	}
	conf, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	queues, tables := sqs.NewFromConfig(conf), dynamodb.NewFromConfig(conf)
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("image")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tables.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("image"), BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("predictionId"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("predictionId"), AttributeType: types.ScalarAttributeTypeS}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := tables.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String("image"), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expiresAt"), Enabled: aws.Bool(true)},
	}); err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--detach", "--network=host", "--read-only", "--user=65532:65532", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=512m", "--stop-timeout=35"}
	environment := map[string]string{
		"AWS_REGION": conf.Region, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"WORKER_QUEUE_URL": *queue.QueueUrl, "WORKER_TABLE_NAME": "image", "WORKER_HTTP_ADDR": "127.0.0.1:19090", "WORKER_ADMIN_ADDR": "", "WORKER_RECEIVE_WAIT": "1s",
	}
	for name, value := range endpoints {
		environment[name] = value
	}
	for name, value := range environment {
		args = append(args, "--env", name+"="+value)
	}
	id := d.must(t, append(args, tag)...)
	defer d.must(t, "rm", "--force", id)
	if _, err := queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String(`{"predictionId": "image-1", "prediction": 1}`)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got, err := tables.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("image"), Key: map[string]types.AttributeValue{"predictionId": &types.AttributeValueMemberS{Value: "image-1"}}})
		if err != nil {
			t.Fatalf("nothing was written (%v):\n%s", err, d.logs(t, id))
		}
		if len(got.Item) > 0 {
			break
		}
		time.Sleep(100 * time.Millisecond) // another process: there is nothing to wait on
	}
	d.must(t, "exec", id, "/worker", "health")
	begin := time.Now()
	d.must(t, "stop", id)
	t.Logf("stopped after %v", time.Since(begin).Round(time.Millisecond))
	same(t, "the exit status", d.must(t, "inspect", "--format", "{{.State.ExitCode}}", id), "0")
	if log := d.logs(t, id); !strings.Contains(log, "nothing is held") {
		t.Errorf("the end was not clean:\n%s", log)
	}
}

func (d *docker) logs(t *testing.T, id string) string {
	t.Helper()
	path, _ := filepath.Abs("../.cache/deploy/docker/usr/bin/docker")
	stdout, stderr, err := d.command().run(t, path, "logs", id)
	return fmt.Sprint(stdout, stderr, err)
}
