package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A faultProxy stands between a worker and a service on the wire, and does to some calls what networks and services do.
type faultProxy struct {
	target string
	chance float64
	client http.Client

	mu     sync.Mutex
	random *rand.Rand
	struck map[string]int
}

// newFaultProxy serves a proxy to target until the test ends, and returns it with its address.
func newFaultProxy(t *testing.T, target string, seed uint64, chance float64) (*faultProxy, string) {
	p := &faultProxy{
		target: target, chance: chance, random: rand.New(rand.NewPCG(seed, 1)), struck: map[string]int{},
		client: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, server.URL
}

// draw decides what becomes of a call.
func (p *faultProxy) draw() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.random.Float64() >= p.chance {
		return ""
	}
	kinds := []string{"reset before", "reset after", "truncated", "delayed", "error", "throttled", "partial"}
	return kinds[p.random.IntN(len(kinds))]
}

func (p *faultProxy) count(kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.struck[kind]++
}

func (p *faultProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the worker was killed
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	fault := p.draw()
	if strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "GetQueue") {
		fault = "" // a worker that can't start is restarted, which takes time and proves nothing
	}
	var held []json.RawMessage // the items that are not forwarded
	table := ""
	switch fault {
	case "reset before":
		p.count(fault)
		reset(w)
		return
	case "error":
		p.count(fault)
		refuse(w, http.StatusInternalServerError, "InternalServerError")
		return
	case "throttled":
		p.count(fault)
		if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB") {
			refuse(w, http.StatusBadRequest, "ProvisionedThroughputExceededException")
		} else {
			refuse(w, http.StatusForbidden, "RequestThrottled")
		}
		return
	case "partial":
		if operation == "BatchWriteItem" {
			body, table, held = split(body)
		}
		if len(held) == 0 {
			fault = ""
		}
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, p.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	out.Header = r.Header.Clone()
	resp, err := p.client.Do(out)
	if err != nil {
		reset(w)
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		reset(w)
		return
	}
	if fault != "" {
		p.count(fault)
	}
	switch fault {
	case "reset after":
		reset(w)
		return
	case "delayed":
		time.Sleep(300 * time.Millisecond)
	case "partial":
		if resp.StatusCode == http.StatusOK {
			answer = unprocessed(answer, table, held)
			resp.Header.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(answer)), 10))
		}
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(resp.StatusCode)
	if fault == "truncated" {
		_, _ = w.Write(answer[:len(answer)/2]) // the worker may be gone
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(answer)
}

// reset closes the connection as a crash does.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Requestid", "00000000-0000-0000-0000-000000000000")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":"com.amazonaws#%s","message":"by the proxy"}`, code)
}

// split takes every second item out of a BatchWriteItem.
func split(body []byte) (rest []byte, table string, held []json.RawMessage) {
	request := map[string]json.RawMessage{}
	items := map[string][]json.RawMessage{}
	if json.Unmarshal(body, &request) != nil || json.Unmarshal(request["RequestItems"], &items) != nil || len(items) != 1 {
		return body, "", nil
	}
	var kept []json.RawMessage
	for name, puts := range items {
		table = name
		for i, put := range puts {
			if i%2 == 0 {
				kept = append(kept, put)
			} else {
				held = append(held, put)
			}
		}
	}
	request["RequestItems"] = marshal(map[string][]json.RawMessage{table: kept})
	return marshal(request), table, held
}

// unprocessed adds items to those that an answer says were not processed.
func unprocessed(answer []byte, table string, held []json.RawMessage) []byte {
	response := map[string]json.RawMessage{}
	items := map[string][]json.RawMessage{}
	if json.Unmarshal(answer, &response) != nil {
		return answer
	}
	if text := response["UnprocessedItems"]; text != nil && json.Unmarshal(text, &items) != nil {
		return answer
	}
	items[table] = append(items[table], held...)
	response["UnprocessedItems"] = marshal(items)
	return marshal(response)
}

func marshal(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // what was read a moment ago
	}
	return text
}
