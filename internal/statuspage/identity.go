package statuspage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

// An Identity says which worker this is, among its replicas.
type Identity struct {
	Host string `json:"host"` // the host's name; a pod's is the pod's
	// On Kubernetes. Namespace and Node are known if POD_NAMESPACE and NODE_NAME are set.
	Pod       string `json:"pod,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Node      string `json:"node,omitempty"`
	// On ECS.
	Task       string `json:"task,omitempty"`       // the task's id
	Definition string `json:"definition,omitempty"` // family:revision
	Cluster    string `json:"cluster,omitempty"`
	Zone       string `json:"zone,omitempty"` // availability zone
}

// FindIdentity reads the identity from the environment. On ECS it adds what FindTask finds.
func FindIdentity() Identity {
	host, _ := os.Hostname() // "" if the kernel has none
	who := Identity{Host: host}
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		who.Pod, who.Namespace, who.Node = os.Getenv("POD_NAME"), os.Getenv("POD_NAMESPACE"), os.Getenv("NODE_NAME")
		if who.Pod == "" {
			who.Pod = host
		}
	}
	return who
}

// taskMetadata is the variable with the address of "Amazon ECS task metadata endpoint version 4".
const taskMetadata = "ECS_CONTAINER_METADATA_URI_V4"

// FindTask reads the task from ECS's metadata endpoint. It returns false if the worker does not run on ECS, or if the endpoint does
// not answer within two seconds.
func (i Identity) FindTask(ctx context.Context) (Identity, bool) {
	address := os.Getenv(taskMetadata)
	if address == "" {
		return i, false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	task, err := readTask(ctx, address+"/task")
	if err != nil {
		return i, false
	}
	i.Task, i.Cluster, i.Zone = last(task.TaskARN), last(task.Cluster), task.AvailabilityZone
	if task.Family != "" {
		i.Definition = task.Family + ":" + task.Revision
	}
	return i, true
}

// A task is what the endpoint says of a task.
type task struct{ Cluster, TaskARN, Family, Revision, AvailabilityZone string }

func readTask(ctx context.Context, address string) (*task, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody) //nolint:gosec // the address is from ECS
	if err != nil {
		return nil, fmt.Errorf("asking for the task: %w", err)
	}
	// The address is link-local: no proxy knows it.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request) //nolint:gosec // as above
	if err != nil {
		return nil, fmt.Errorf("asking for the task: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking for the task: status %d", answer.StatusCode)
	}
	var t task
	if err := json.NewDecoder(http.MaxBytesReader(nil, answer.Body, 1<<20)).Decode(&t); err != nil {
		return nil, fmt.Errorf("reading the task: %w", err)
	}
	return &t, nil
}

// last returns the last part of an ARN's resource.
func last(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
