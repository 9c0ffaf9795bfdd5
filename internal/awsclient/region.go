package awsclient

import (
	"fmt"
	"regexp"
)

var queueHost = regexp.MustCompile(`^https://sqs(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|api\.aws)`)

// regionOf returns the region that a queue's URL names, or nothing.
func regionOf(queueURL string) string {
	if m := queueHost.FindStringSubmatch(queueURL); m != nil {
		return m[1]
	}
	return ""
}

// checkRegion refuses a queue of another region than that of the calls. SQS would say that it does not exist. Behind an endpoint
// of the user's own, a URL's region has no meaning.
func (c *Clients) checkRegion(what, queueURL string) error {
	o := c.SQS.Options()
	if region := regionOf(queueURL); region != "" && region != o.Region && o.BaseEndpoint == nil {
		return fmt.Errorf("%s is in the region %s, but the region of AWS calls is %s: set AWS_REGION to %s", what, region, o.Region, region)
	}
	return nil
}
