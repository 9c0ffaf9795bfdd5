package awsclient

import (
	"context"
	"io"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// plainBodies gives each request of the SDK's clients a body that has only Read and Seek.
//
// The SDK closes a request's body as soon as the answer arrives, while net/http may still be making its last check that
// the body has ended. The SDK's wrapper answers that check, by its WriteTo, with io.EOF, which an io.WriterTo must not
// return; net/http takes it for a failed write and drops the connection, under an answer that is still being read. Such
// a lost answer to ReceiveMessage hides ten messages until their visibility timeout. Without WriteTo, net/http uses
// Read, for which io.EOF is right.
func plainBodies(stack *middleware.Stack) error {
	return stack.Build.Add(middleware.BuildMiddlewareFunc("predcache.PlainBody", func(
		ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler,
	) (middleware.BuildOutput, middleware.Metadata, error) {
		if req, ok := in.Request.(*smithyhttp.Request); ok {
			if body, ok := req.GetStream().(io.ReadSeeker); ok {
				plain, err := req.SetStream(struct{ io.ReadSeeker }{body})
				if err != nil {
					return middleware.BuildOutput{}, middleware.Metadata{}, err
				}
				in.Request = plain
			}
		}
		return next.HandleBuild(ctx, in)
	}), middleware.Before)
}
