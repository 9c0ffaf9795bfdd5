// Package s3fake is a fake of Amazon S3 that enforces the service's rules for reading objects. See package awstest.
//
// A bucket holds objects and their versions. Contents may be generated ([Blocks]), so that an object of any size takes no
// memory. A bucket can send its events to a queue ([Service.SetNotification]).
package s3fake

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/predcache/predcache/internal/awstest"
)

// Service is a fake of S3: an http.Handler whose state is in memory. Make it with [New]; inside a bubble, if it is to be
// used there.
type Service struct {
	*awstest.Server

	mu        sync.Mutex // guards what follows
	buckets   map[string]*bucket
	sequence  uint64
	deliverer func(queueARN, body string)
	deferred  []func() // sends events once s.mu is free
}

// New makes a fake without buckets.
func New() *Service {
	s := &Service{buckets: make(map[string]*bucket)}
	s.Server = awstest.NewServer(awstest.Protocol{Encode: encode})
	return s
}

// Client is an SDK client of the fake, with no network between them. It retries as the SDK does by default.
func (s *Service) Client(options ...func(*s3.Options)) *s3.Client {
	return s3.NewFromConfig(awstest.Config(awstest.Transport(s)), options...)
}

// Bucket describes a bucket. The zero value belongs to [awstest.Account], is in [awstest.Region] and keeps no versions.
type Bucket struct {
	// Owner is the account that owns the bucket.
	Owner string
	// Region is the bucket's. A call that comes by another region's endpoint is sent there.
	Region string
	// Versioned keeps each version of an object under an id of its own.
	Versioned bool
	// Access is what the caller may do.
	Access Access
}

// Access is what the caller's policies leave out. The zero value allows everything.
type Access struct {
	// NoGet denies s3:GetObject and s3:GetObjectVersion of keys that begin with one of these; "" is all keys.
	NoGet []string
	// NoVersion denies s3:GetObjectVersion.
	NoVersion bool
	// NoList denies s3:ListBucket: a listing is refused, and a missing key looks like a forbidden one.
	NoList bool
	// ListPrefix, if not "", allows s3:ListBucket only where s3:prefix begins with it. A GetObject has no s3:prefix, so
	// a missing key looks like a forbidden one too.
	ListPrefix string
	// NoDecrypt denies kms:Decrypt with the key that encrypts the objects.
	NoDecrypt bool
}

type bucket struct {
	Bucket
	name         string
	objects      map[string][]*Object // by key; the newest version last
	notification Notification
}

// Object is one version of an object.
type Object struct {
	Bucket, Key string
	// VersionID is "null" where the bucket kept no versions, as S3 calls it.
	VersionID string
	// ETag is without its quotes.
	ETag         string
	Size         int64
	LastModified time.Time
	// DeleteMarker is true for a version that says that the object was deleted.
	DeleteMarker bool
	// StorageClass is "STANDARD", and ContentEncoding is "", unless they were changed.
	StorageClass, ContentEncoding string

	content   Content
	sequencer uint64
}

// CreateBucket makes a bucket, or changes its description if there is one. It panics if no bucket may have the name.
func (s *Service) CreateBucket(name string, description Bucket) {
	if !validBucketName(name) {
		panic("s3fake: " + invalidBucketName(name).Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.create(name, description)
}

// create makes or changes a bucket. It requires that s.mu be held.
func (s *Service) create(name string, description Bucket) {
	if description.Owner == "" {
		description.Owner = awstest.Account
	}
	if description.Region == "" {
		description.Region = awstest.Region
	}
	b := s.buckets[name]
	if b == nil {
		b = &bucket{name: name, objects: make(map[string][]*Object)}
		s.buckets[name] = b
	}
	b.Bucket = description
}

// SetAccess changes what the caller may do with a bucket.
func (s *Service) SetAccess(bucket string, access Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.must(bucket).Access = access
}

// Put stores an object, without a client and without a call that counts, and sends the bucket's event of it.
func (s *Service) Put(bucket, key string, content Content) Object {
	s.mu.Lock()
	o := s.put(s.must(bucket), key, content)
	event := s.created(o, "Put")
	s.mu.Unlock()
	event()
	return *o
}

// Delete deletes an object as DeleteObject does. There is no event of it.
func (s *Service) Delete(bucket, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.must(bucket), key, "")
}

// Change changes what the fake knows of an object's current version, e.g. its storage class.
func (s *Service) Change(bucket, key string, change func(*Object)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.must(bucket).current(key))
}

// Object returns the current version of an object; ok is false if there is none.
func (s *Service) Object(bucket, key string) (o Object, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.must(bucket).current(key); o != nil && !o.DeleteMarker {
		return *o, true
	}
	return Object{}, false
}

// must finds a bucket that the test has made. It requires that s.mu be held.
func (s *Service) must(name string) *bucket {
	if b := s.buckets[name]; b != nil {
		return b
	}
	panic("s3fake: there is no bucket " + name)
}

// put adds a version. It requires that s.mu be held.
func (s *Service) put(b *bucket, key string, content Content) *Object {
	s.sequence++
	o := &Object{Bucket: b.name, Key: key, VersionID: "null", ETag: content.ETag(), Size: content.Size(),
		// Last-Modified has whole seconds, like every date of HTTP.
		LastModified: time.Now().Truncate(time.Second), StorageClass: "STANDARD", content: content, sequencer: s.sequence}
	if b.Versioned {
		o.VersionID = s.versionID()
	}
	b.add(o)
	return o
}

// remove deletes a key or a version of it. It requires that s.mu be held.
func (s *Service) remove(b *bucket, key, version string) {
	switch versions := b.objects[key]; {
	case version != "":
		b.drop(key, version)
	case b.Versioned:
		s.sequence++
		b.add(&Object{Bucket: b.name, Key: key, VersionID: s.versionID(), LastModified: time.Now().Truncate(time.Second), DeleteMarker: true})
	case len(versions) > 0:
		b.drop(key, "null")
	}
}

// versionLength is the length of a version id, as of S3's own.
const versionLength = 32

func (s *Service) versionID() string {
	return strings.ReplaceAll(awstest.UUID(s.sequence, 3), "-", "")
}

// add makes o the current version of its key. A version "null" replaces the one before ("Working with objects in a
// versioning-suspended bucket").
func (b *bucket) add(o *Object) {
	if o.VersionID == "null" {
		b.drop(o.Key, "null")
	}
	b.objects[o.Key] = append(b.objects[o.Key], o)
}

func (b *bucket) drop(key, version string) {
	var rest []*Object
	for _, o := range b.objects[key] {
		if o.VersionID != version {
			rest = append(rest, o)
		}
	}
	if b.objects[key] = rest; rest == nil {
		delete(b.objects, key)
	}
}

// current returns the newest version, which may be a delete marker, or nil.
func (b *bucket) current(key string) *Object {
	versions := b.objects[key]
	if len(versions) == 0 {
		return nil
	}
	return versions[len(versions)-1]
}

func (b *bucket) version(key, id string) *Object {
	for _, o := range b.objects[key] {
		if o.VersionID == id {
			return o
		}
	}
	return nil
}

// validBucketName enforces "General purpose bucket naming rules".
func validBucketName(name string) bool {
	edge := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	if len(name) < 3 || len(name) > 63 || !edge(name[0]) || !edge(name[len(name)-1]) || strings.Contains(name, "..") {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := parse(r)
	s.Serve(w, r, req.operation(), func(c *awstest.Call, body []byte) awstest.Effect { return s.effect(c, req, body) })
}
