package cache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/predcache/predcache/cache"
)

func ExampleCache_Get() {
	ctx := context.Background()
	cfg := exampleTable() // config.LoadDefaultConfig(ctx)

	c, err := cache.New(cfg, "predictions", cache.WithFront(cache.Front{MaxAge: 10 * time.Second}))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Get(ctx, "digits/1078")
	if err != nil {
		log.Fatal(err)
	}
	var result struct {
		Label int
		Score float64
	}
	if err := p.Decode(&result); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s is a %d (%.2f), says version %s\n", p.ID, result.Label, result.Score, p.Attributes["modelVersion"])

	_, err = c.Get(ctx, "digits/none")
	fmt.Println(errors.Is(err, cache.ErrNotFound))
	// Output:
	// digits/1078 is a 0 (0.97), says version 2
	// true
}

func ExampleCache_Get_where() {
	c, err := cache.New(exampleTable(), "predictions", cache.Where("modelVersion", 1))
	if err != nil {
		log.Fatal(err)
	}
	p, err := c.Get(context.Background(), "digits/1078")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", p.Payload)
	// Output: {"label":6,"score":0.51}
}

func ExampleCache_GetMany() {
	c, err := cache.New(exampleTable(), "predictions")
	if err != nil {
		log.Fatal(err)
	}
	found, err := c.GetMany(context.Background(), []string{"digits/1079", "digits/none", "digits/1078"})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range found {
		if p == nil {
			fmt.Println("a miss")
			continue
		}
		fmt.Printf("%s %s\n", p.ID, p.Payload)
	}
	// Output:
	// digits/1079 {"label":7,"score":0.94}
	// a miss
	// digits/1078 {"label":0,"score":0.97}
}

func ExampleCache_History() {
	c, err := cache.New(exampleTable(), "predictions")
	if err != nil {
		log.Fatal(err)
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	for p, err := range c.History(context.Background(), "digits/1078", yesterday, time.Time{}, cache.OldestFirst()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s by version %s\n", p.Payload, p.Attributes["modelVersion"])
	}
	// Output:
	// {"label":6,"score":0.51} by version 1
	// {"label":0,"score":0.97} by version 2
}

func ExampleCache_GetOrCompute() {
	ctx := context.Background()
	cfg, queue, url := exampleTable(), exampleQueue(), exampleQueueURL

	publisher, err := cache.NewPublisher(queue, url, cache.PublisherConfig{
		OnFailure: func(f cache.Failure) { log.Print("not published: ", f.Err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	c, err := cache.New(cfg, "predictions", cache.WithPublisher(publisher))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.GetOrCompute(ctx, "digits/2000", func(context.Context) (*cache.Prediction, error) {
		return cache.NewPrediction("digits/2000", map[string]any{"label": 4})
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s\n", p.ID, p.Payload)
	if err := publisher.Close(ctx); err != nil { // when the service stops
		log.Fatal(err)
	}
	fmt.Println(publisher.Stats().Messages, "message to the worker")
	// Output:
	// digits/2000 {"label":4}
	// 1 message to the worker
}

func ExamplePublisher_Delete() {
	ctx := context.Background()
	publisher, err := cache.NewPublisher(exampleQueue(), exampleQueueURL, cache.PublisherConfig{})
	if err != nil {
		log.Fatal(err)
	}
	// A model was withdrawn at noon: what it has predicted of the id until then is hidden.
	noon := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	if err := publisher.Delete(ctx, "digits/1078", noon); err != nil {
		log.Fatal(err)
	}
	if err := publisher.Close(ctx); err != nil { // when the service stops
		log.Fatal(err)
	}
	fmt.Println(publisher.Stats().Messages, "message to the worker")
	// Output: 1 message to the worker
}

func ExamplePublisher() {
	ctx := context.Background()
	publisher, err := cache.NewPublisher(exampleQueue(), exampleQueueURL, cache.PublisherConfig{Pack: true, Linger: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 1000 {
		p, err := cache.NewPrediction(fmt.Sprint("user-", i), map[string]int{"score": i})
		if err != nil {
			log.Fatal(err)
		}
		if err := publisher.Publish(ctx, p); err != nil {
			log.Fatal(err)
		}
	}
	if err := publisher.Close(ctx); err != nil {
		log.Fatal(err)
	}
	s := publisher.Stats()
	fmt.Println(s.Predictions, "predictions in", s.Messages, "messages and", s.Calls, "call")
	// Output: 1000 predictions in 2 messages and 1 call
}
