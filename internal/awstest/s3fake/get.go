package s3fake

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/predcache/predcache/internal/awstest"
)

// getObject is GetObject and HeadObject ("GetObject", API reference).
func (s *Service) getObject(q *request, c *awstest.Call, b *bucket, _ []byte) (*awstest.Response, *awstest.Error) {
	o, err := b.find(q.key, q.query.Get("versionId"))
	if err != nil {
		return nil, err
	}
	if err := conditions(o, q.header); err != nil {
		return nil, err
	}
	first, last, partial, err := o.bytes(q.header.Get("Range"))
	if err != nil {
		return nil, err
	}
	resp := &awstest.Response{Status: http.StatusOK, Header: http.Header{}, Length: last - first + 1}
	h := resp.Header
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "binary/octet-stream")
	h.Set("ETag", quoted(o.ETag))
	h.Set("Last-Modified", o.LastModified.UTC().Format(http.TimeFormat))
	if o.ContentEncoding != "" {
		h.Set("Content-Encoding", o.ContentEncoding)
	}
	if b.Versioned || o.VersionID != "null" {
		h.Set("X-Amz-Version-Id", o.VersionID)
	}
	if o.StorageClass != "STANDARD" {
		h.Set("X-Amz-Storage-Class", o.StorageClass)
	}
	if partial {
		resp.Status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, o.Size))
	}
	if c.Operation == "HeadObject" {
		h.Set("Content-Length", strconv.FormatInt(resp.Length, 10))
		return resp, nil
	}
	if archived := o.StorageClass == "GLACIER" || o.StorageClass == "DEEP_ARCHIVE"; archived {
		return nil, InvalidObjectState(o.StorageClass)
	}
	resp.Stream = io.NewSectionReader(o.content, first, resp.Length)
	e := &c.Entries[0]
	e.First, e.Last, e.Applied = first, last, true
	return resp, nil
}

// find looks up an object, or one version of it, as far as the caller may.
func (b *bucket) find(key, version string) (*Object, *awstest.Error) {
	denied := slices.ContainsFunc(b.Access.NoGet, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
	if denied || version != "" && b.Access.NoVersion {
		return nil, AccessDenied()
	}
	o := b.current(key)
	if version != "" {
		if len(version) != versionLength && version != "null" {
			return nil, invalidArgument("versionId", version, "Invalid version id specified")
		}
		if o = b.version(key, version); o == nil {
			return nil, b.missing(noSuchVersion(key, version))
		}
	}
	switch {
	case o == nil:
		return nil, b.missing(noSuchKey(key))
	case o.DeleteMarker && version != "": // "Working with delete markers"
		err := methodNotAllowed(http.MethodGet, "DeleteMarker")
		err.Members["X-Amz-Delete-Marker"], err.Members["Last-Modified"] = "true", o.LastModified.UTC().Format(http.TimeFormat)
		return nil, err
	case o.DeleteMarker:
		err := noSuchKey(key)
		err.Members["X-Amz-Delete-Marker"] = "true"
		return nil, b.missing(err)
	case b.Access.NoDecrypt:
		return nil, kmsDenied()
	}
	return o, nil
}

// conditions checks the conditional headers. If-Match decides over If-Unmodified-Since, and If-None-Match over
// If-Modified-Since ("GetObject", API reference).
func conditions(o *Object, h http.Header) *awstest.Error {
	if tags := h.Get("If-Match"); tags != "" {
		if !o.matches(tags) {
			return preconditionFailed("If-Match")
		}
	} else if at, ok := httpDate(h.Get("If-Unmodified-Since")); ok && o.LastModified.After(at) {
		return preconditionFailed("If-Unmodified-Since")
	}
	if tags := h.Get("If-None-Match"); tags != "" {
		if o.matches(tags) {
			return notModified()
		}
	} else if at, ok := httpDate(h.Get("If-Modified-Since")); ok && !o.LastModified.After(at) {
		return notModified()
	}
	return nil
}

func httpDate(text string) (time.Time, bool) {
	at, err := http.ParseTime(text)
	return at, err == nil
}

// matches compares the object's ETag with a list of tags. S3 takes a tag without its quotes as well.
func (o *Object) matches(tags string) bool {
	for tag := range strings.SplitSeq(tags, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.Trim(tag, `"`) == o.ETag {
			return true
		}
	}
	return false
}

func quoted(etag string) string { return `"` + etag + `"` }

// bytes finds the first and the last byte that a Range header asks for. A header that is no range is ignored, and a range
// ends at the latest with the object (RFC 9110, Range Requests). S3 answers one range only ("GetObject", API reference).
func (o *Object) bytes(header string) (first, last int64, partial bool, err *awstest.Error) {
	whole := func() (int64, int64, bool, *awstest.Error) { return 0, o.Size - 1, false, nil }
	spec, isBytes := strings.CutPrefix(header, "bytes=")
	from, to, isRange := strings.Cut(spec, "-")
	if !isBytes || !isRange {
		return whole()
	}
	if strings.Contains(spec, ",") {
		return 0, 0, false, notImplemented("several ranges")
	}
	first, errFirst := strconv.ParseInt(from, 10, 64)
	last, errLast := strconv.ParseInt(to, 10, 64)
	switch {
	case from == "" && errLast == nil: // the last bytes
		first, last = max(0, o.Size-last), o.Size-1
	case errFirst == nil && to == "":
		last = o.Size - 1
	case errFirst != nil || errLast != nil || last < first:
		return whole()
	}
	if first >= o.Size {
		return 0, 0, false, invalidRange(header, o.Size)
	}
	return first, min(last, o.Size-1), true, nil
}
