// Package awsjson calls AWS services that speak the AWS JSON 1.0 protocol, with requests of its own.
//
// A process that makes tens of thousands of calls a minute spends more CPU in the SDK's middleware stack than in all
// of its own code. This package replaces the stack and keeps the rest of the SDK: endpoint rules, credentials,
// Signature Version 4, and the decoding of error answers into the SDK's error types. The caller writes the request
// body as JSON and reads a successful answer in place.
//
//	table := awsjson.DynamoDB(client.Options(), "predictions", nil)
//	get := table.Operation("GetItem") // once
//
//	call := get.Begin()
//	defer get.End(call)
//	call.Request = append(call.Request, `{"TableName":"predictions","Key":…}`...)
//	err := get.Send(ctx, call, func(answer *jsonscan.Walker) { … })
//
// Send makes one attempt. The caller owns retries and timeouts.
package awsjson

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	smithy "github.com/aws/smithy-go"
	smithyauth "github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Options of a Service. SQS and DynamoDB fill them from the options of the SDK's clients.
type Options struct {
	// ID names the service in errors, as the SDK does: "SQS", "DynamoDB".
	ID string
	// Target is the prefix of the X-Amz-Target header, such as "DynamoDB_20120810".
	Target string
	// Signing and Region are the scope of the signature, unless the endpoint rules name another.
	Signing, Region string
	// Header is sent with every request.
	Header http.Header
	// Client makes the HTTP calls. Of an *http.Client only the Transport is used: redirects and cookies do not occur.
	Client smithyhttp.ClientDo
	// Credentials sign the requests.
	Credentials aws.CredentialsProvider
	// Clock gives the time of the signature. Whoever passes one has put its Watch around the transport of Client. Nil
	// means a new Clock that follows the answers of this service.
	Clock *Clock
	// Protocol reads error answers, and Types are the error types that it knows.
	Protocol smithyhttp.ClientProtocol
	Types    *smithy.TypeRegistry
	// Endpoint resolves the endpoint. account is the account id of the credentials, or empty if they do not have one;
	// the result is kept for as long as it does not change.
	Endpoint func(ctx context.Context, account string) (smithyendpoints.Endpoint, error)
	// Large bounds, by its capacity, how many answers of over 1 MiB are in memory at once. Each call that has one holds a place
	// until its End. Nil is no bound.
	Large chan struct{}
}

// A Service is one AWS service in one region. It is safe for concurrent use.
type Service struct {
	options   Options
	transport http.RoundTripper
	signer    *v4.Signer
	resolved  atomic.Pointer[endpoint] // the latest one
}

// NewService returns a Service. It makes no call.
func NewService(o Options) *Service {
	s := &Service{options: o, signer: v4.NewSigner(), transport: roundTripper(o.Client.Do)}
	if client, ok := o.Client.(*http.Client); ok && client.Transport != nil {
		s.transport = client.Transport
	}
	if o.Clock == nil {
		s.options.Clock = &Clock{}
		s.transport = s.options.Clock.Watch(s.transport)
	}
	return s
}

// An endpoint is where calls go and what they are signed for.
type endpoint struct {
	account string
	url     url.URL
	header  http.Header
	signing string
	region  string
}

// endpoint returns the endpoint for the account of the credentials.
func (s *Service) endpoint(ctx context.Context, account string) (*endpoint, error) {
	if e := s.resolved.Load(); e != nil && e.account == account {
		return e, nil
	}
	found, err := s.options.Endpoint(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("resolve the endpoint: %w", err)
	}
	e := &endpoint{account: account, url: found.URI, header: found.Headers, signing: s.options.Signing, region: s.options.Region}
	e.url.Path = smithyhttp.JoinPath(e.url.Path, "/")
	if schemes, ok := smithyauth.GetAuthOptions(&found.Properties); ok {
		for _, scheme := range schemes {
			if name, ok := smithyhttp.GetSigV4SigningName(&scheme.SignerProperties); ok {
				e.signing = name
			}
			if region, ok := smithyhttp.GetSigV4SigningRegion(&scheme.SignerProperties); ok {
				e.region = region
			}
		}
	}
	s.resolved.Store(e)
	return e, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
