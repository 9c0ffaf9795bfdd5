package s3fake

import (
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/predcache/predcache/internal/awstest"
)

// maxKeys is the greatest number of keys that one page has ("ListObjectsV2", API reference).
const maxKeys = 1000

type listResult struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name, Prefix          string
	Delimiter             string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	KeyCount, MaxKeys     int
	IsTruncated           bool
	Contents              []listed
	CommonPrefixes        []commonPrefix
}

type listed struct {
	Key, LastModified, ETag string
	Size                    int64
	StorageClass            string
	Owner                   *owner
}

type owner struct{ ID string }

type commonPrefix struct{ Prefix string }

// listObjects is ListObjectsV2: the current versions in the order of the bytes of their keys, page by page.
func (s *Service) listObjects(q *request, _ *awstest.Call, b *bucket, _ []byte) (*awstest.Response, *awstest.Error) {
	prefix, delimiter := q.query.Get("prefix"), q.query.Get("delimiter")
	if !b.mayList(prefix) {
		return nil, AccessDenied()
	}
	limit, after, err := page(q.query)
	if err != nil {
		return nil, err
	}
	out := listResult{Name: b.name, Prefix: prefix, Delimiter: delimiter, StartAfter: q.query.Get("start-after"), MaxKeys: limit,
		EncodingType: q.query.Get("encoding-type"), ContinuationToken: q.query.Get("continuation-token")}
	seen := ""
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		o := b.current(key)
		rolled := ""
		if before, _, found := strings.Cut(strings.TrimPrefix(key, prefix), delimiter); found && delimiter != "" {
			rolled = prefix + before + delimiter
		}
		if key <= after || !strings.HasPrefix(key, prefix) || o.DeleteMarker || rolled != "" && rolled == seen {
			continue
		}
		if out.KeyCount == limit {
			out.IsTruncated = limit > 0
			break
		}
		out.KeyCount++
		if seen = rolled; rolled != "" {
			out.CommonPrefixes = append(out.CommonPrefixes, commonPrefix{rolled})
			out.NextContinuationToken = token(rolled + "\U0010ffff") // past every key with this prefix
			continue
		}
		out.NextContinuationToken = token(key)
		entry := listed{Key: key, LastModified: o.LastModified.UTC().Format("2006-01-02T15:04:05.000Z"), ETag: quoted(o.ETag),
			Size: o.Size, StorageClass: o.StorageClass}
		if q.query.Get("fetch-owner") == "true" {
			entry.Owner = &owner{b.Owner}
		}
		out.Contents = append(out.Contents, entry)
	}
	if !out.IsTruncated {
		out.NextContinuationToken = ""
	}
	out.encodeKeys()
	return &awstest.Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/xml"}}, Body: marshal(out)}, nil
}

// page reads how many keys are asked for, and after which one.
func page(query url.Values) (limit int, after string, err *awstest.Error) {
	limit, after = maxKeys, query.Get("start-after")
	if query.Has("max-keys") {
		n, bad := strconv.Atoi(query.Get("max-keys"))
		if bad != nil || n < 0 {
			return 0, "", invalidArgument("max-keys", query.Get("max-keys"), "Argument maxKeys must be an integer between 0 and 2147483647")
		}
		limit = min(n, maxKeys)
	}
	if query.Has("continuation-token") {
		key, bad := base64.StdEncoding.DecodeString(query.Get("continuation-token"))
		if bad != nil || len(key) == 0 {
			return 0, "", invalidArgument("continuation-token", query.Get("continuation-token"), "The continuation token provided is incorrect")
		}
		after = string(key)
	}
	return limit, after, nil
}

func token(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }

// encodeKeys encodes the keys of an answer that is asked for as encoding-type=url: XML 1.0 can't hold every character.
func (out *listResult) encodeKeys() {
	if out.EncodingType != "url" {
		return
	}
	for _, text := range []*string{&out.Prefix, &out.Delimiter, &out.StartAfter} {
		*text = formEncode(*text)
	}
	for i := range out.Contents {
		out.Contents[i].Key = formEncode(out.Contents[i].Key)
	}
	for i := range out.CommonPrefixes {
		out.CommonPrefixes[i].Prefix = formEncode(out.CommonPrefixes[i].Prefix)
	}
}

// formEncode is the encoding of keys in listings and events: that of forms, which leaves slashes as they are.
func formEncode(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/") }
