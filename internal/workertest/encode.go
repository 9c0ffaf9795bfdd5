package workertest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/klauspost/compress/zstd"
)

// ContentEncoding is the message attribute that says how a body is compressed.
func ContentEncoding(value string) map[string]types.MessageAttributeValue {
	return map[string]types.MessageAttributeValue{"Content-Encoding": {DataType: aws.String("String"), StringValue: &value}}
}

// Gzip compresses a body, in base64.
func Gzip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// Zstd compresses a body, in base64.
func Zstd(text string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(w.EncodeAll([]byte(text), nil))
}
