package statuspage

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

func TestIdentity(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	// As "Amazon ECS task metadata endpoint version 4" shows an answer, shortened.
	const answer = `{"Cluster":"arn:aws:ecs:us-west-2:111122223333:cluster/default","TaskARN":"arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c","Family":"predcache","Revision":"26","AvailabilityZone":"us-west-2d","Containers":[]}`
	onECS := Identity{Host: host, Task: "158d1c8083dd49d6b527399fd6414f5c", Definition: "predcache:26", Cluster: "default", Zone: "us-west-2d"}
	for name, test := range map[string]struct {
		variables map[string]string
		answer    string // of ECS; "": there is no ECS
		status    int
		want      Identity
	}{
		"a host":                     {nil, "", 0, Identity{Host: host}},
		"a pod":                      {map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "", 0, Identity{Host: host, Pod: host}},
		"a pod that knows more":      {map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAME": "p-1", "POD_NAMESPACE": "ml", "NODE_NAME": "n"}, "", 0, Identity{Host: host, Pod: "p-1", Namespace: "ml", Node: "n"}},
		"a task":                     {nil, answer, http.StatusOK, onECS},
		"a task without its service": {nil, answer, http.StatusInternalServerError, Identity{Host: host}},
		"no JSON":                    {nil, "<html>", http.StatusOK, Identity{Host: host}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"KUBERNETES_SERVICE_HOST", "POD_NAME", "POD_NAMESPACE", "NODE_NAME", taskMetadata} {
				t.Setenv(variable, test.variables[variable])
			}
			if test.answer != "" {
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/v4/abc/task" {
						t.Errorf("asked for %s", r.URL.Path)
					}
					w.WriteHeader(test.status)
					_, _ = w.Write([]byte(test.answer))
				}))
				defer server.Close()
				t.Setenv(taskMetadata, server.URL+"/v4/abc")
			}
			who, found := FindIdentity().FindTask(t.Context())
			if who != test.want || found != (test.want.Task != "") {
				t.Errorf("%+v, %v", who, found)
			}
		})
	}
}
