package awsclient

import (
	"fmt"
	"regexp"
)

var queueHost = regexp.MustCompile(`^https://sqs(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|api\.aws)`)

// regionOf returns the region in a queue's URL, or "".
func regionOf(queueURL string) string {
	if m := queueHost.FindStringSubmatch(queueURL); m != nil {
		return m[1]
	}
	return ""
}

// checkRegion returns an error for a queue of another region than that of the calls: SQS would answer that it does not
// exist. With an endpoint of the user's own, the region in the URL has no meaning.
func (c *Clients) checkRegion(what, queueURL string) error {
	o := c.SQS.Options()
	if region := regionOf(queueURL); region != "" && region != o.Region && o.BaseEndpoint == nil {
		return fmt.Errorf("%s is in the region %s, but the region of AWS calls is %s: set AWS_REGION to %s", what, region, o.Region, region)
	}
	return nil
}
