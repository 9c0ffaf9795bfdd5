package awsclient

import "strings"

// Permanent reports whether a call failed for a reason that trying again does not change: permissions, credentials, or a resource
// that does not exist.
func Permanent(err error) bool {
	code := Code(err)
	for _, part := range []string{"AccessDenied", "NonExistentQueue", "QueueDoesNotExist", "ResourceNotFound", "InvalidClientTokenId", "UnrecognizedClient", "SignatureDoesNotMatch", "InvalidSignature", "ExpiredToken"} {
		if strings.Contains(code, part) {
			return true
		}
	}
	return false
}
