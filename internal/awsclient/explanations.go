package awsclient

import "github.com/predcache/predcache/internal/writer"

// An explanation is what an error code means to the worker, and what to do about it. docs/runbook.md has them as a table.
type explanation struct {
	// codes are error codes as "normal" returns them, or the names that "explain" gives to errors without one.
	codes   []string
	meaning string
	remedy  string
	// permanent errors last until somebody acts: an immediate retry is useless.
	permanent bool
	// write is what the error means for the items of a write.
	write writer.Kind
}

// Names for errors that have no code of AWS.
const (
	codeTimeout     = "timeout"
	codeCanceled    = "canceled"
	codeNetwork     = "network"
	codeNotAWS      = "HTML or XML"
	codeTooLarge    = "HTTP 413"
	codeTooMany     = "HTTP 429"
	codeUnknown     = "UnknownError"
	credentialsCode = "credentials: "
)

const nothingToDo = "none needed if it passes: the call is retried"

// explanations are in the order of the docs. The sources are "Common Errors" and the errors of each operation in the
// Amazon SQS and Amazon DynamoDB API references, and "Error handling with DynamoDB".
var explanations = []explanation{
	// Permissions and credentials.
	{[]string{"AccessDenied"}, "the role may not make this call",
		"allow it in the policy of the role that calls, and in the policies of the queue and of the VPC endpoint if they have one", true, writer.Refused},
	{[]string{"KmsAccessDenied"}, "the role may not use the key that encrypts the queue",
		"allow kms:Decrypt, and kms:GenerateDataKey to send, in the role's policy and in the key's", true, writer.Refused},
	{[]string{"KmsDisabled", "KmsInvalidKeyUsage", "KmsInvalidState", "KmsNotFound", "KmsOptInRequired"}, "the key that encrypts the queue can't be used",
		"enable the key, or encrypt the queue with another one", true, writer.Refused},
	{[]string{"KmsThrottled"}, "KMS throttles the use of the queue's key",
		"raise KmsDataKeyReusePeriodSeconds of the queue", false, writer.Throttled},
	{[]string{"ExpiredToken", "RequestExpired"}, "the credentials have expired",
		"renew them; those of a task's or a pod's role are renewed automatically", true, writer.Refused},
	{[]string{"InvalidClientTokenId", "UnrecognizedClient", "InvalidAccessKeyId"}, "AWS does not know the access key",
		"correct AWS_ACCESS_KEY_ID; temporary credentials also need AWS_SESSION_TOKEN", true, writer.Refused},
	{[]string{"InvalidSignature", "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken"}, "AWS does not accept the request's signature",
		"correct AWS_SECRET_ACCESS_KEY; check that no proxy changes requests", true, writer.Refused},
	{[]string{"OptInRequired"}, "the account may not use this region",
		"enable the region for the account, or correct AWS_REGION", true, writer.Refused},
	{[]string{credentialsCode + "none"}, "no AWS credentials were found",
		"give the task or pod a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", true, writer.Refused},
	{[]string{credentialsCode + "STS"}, "STS gives no credentials for the role",
		"check the role's trust policy, the service account's annotation and the cluster's OIDC provider", true, writer.Refused},
	{[]string{credentialsCode + "file"}, "a file with a token can't be read",
		"check AWS_WEB_IDENTITY_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, and that the token is mounted", true, writer.Refused},
	{[]string{credentialsCode + "network"}, "the service that gives credentials does not answer",
		"check that STS can be reached, such as by a VPC endpoint; on ECS the task role, on EKS the Pod Identity agent", false, writer.Failed},
	{[]string{credentialsCode + "other"}, "no AWS credentials could be had",
		"correct the reason", false, writer.Failed},

	// Missing resources.
	{[]string{"NonExistentQueue", "QueueDoesNotExist"}, "it does not exist in this account and region",
		"create it, or correct its URL", true, writer.Refused},
	{[]string{"QueueDeletedRecently"}, "a queue of this name was deleted in the last 60 s",
		"wait a minute before it is created again", true, writer.Refused},
	{[]string{"ResourceNotFound"}, "it does not exist in this account and region",
		"create it, or correct its name and AWS_REGION", true, writer.Refused},
	{[]string{"InvalidAddress"}, "the queue's URL has an account that is not valid",
		"correct the URL", true, writer.Failed},
	{[]string{"InvalidSecurity"}, "the request was not sent by HTTPS",
		"use https in the queue's URL and in AWS_ENDPOINT_URL", true, writer.Failed},

	// Throttling and limits.
	{[]string{"ProvisionedThroughputExceeded"}, "the write capacity of the table, of an index or of one partition is used up",
		"raise the capacity, or make the table on demand: see PredcacheThrottled", false, writer.Throttled},
	{[]string{"Throttling", "RequestThrottled", codeTooMany}, "the service throttles calls",
		"raise the table's capacity or maximum throughput; of a FIFO queue, turn on high throughput", false, writer.Throttled},
	{[]string{"RequestLimitExceeded", "LimitExceeded"}, "the account's quota is used up",
		"raise it in Service Quotas", false, writer.Throttled},
	{[]string{"OverLimit"}, "120,000 messages of the queue are in flight, which is SQS's limit",
		"find who holds them: see PredcacheInFlightLimit", false, writer.Failed},
	{[]string{"TransactionConflict", "ReplicatedWriteConflict"}, "another writer is writing the same key",
		nothingToDo, false, writer.HotKey},

	// Items and messages that the service refuses.
	{[]string{"Validation", "Serialization"}, "the request holds what the service can't take",
		"see the reject queue: an item that can never be written is rejected with the reason", false, writer.Suspect},
	{[]string{"ItemCollectionSizeLimitExceeded"}, "the items of one partition key exceed 10 GB, the limit of a table with local secondary indexes",
		"delete items of that key, or create the table without local indexes", false, writer.Suspect},
	{[]string{"BatchRequestTooLong", codeTooLarge}, "the request is longer than the service takes",
		"raise MaximumMessageSize of the reject queue to that of the queue", false, writer.Suspect},
	{[]string{"InvalidMessageContents"}, "the message holds characters that SQS does not take",
		"report it: the worker encodes such messages", false, writer.Failed},
	{[]string{"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidIdFormat"}, "the message was received by another worker meanwhile, or deleted",
		"raise the queue's visibility timeout if it happens often: see PredcacheLeasesLost", false, writer.Failed},
	{[]string{"InvalidParameterValue", "InvalidAttributeName", "InvalidAttributeValue", "InvalidBatchEntryId", "BatchEntryIdsNotDistinct", "EmptyBatchRequest",
		"TooManyEntriesInBatchRequest", "UnsupportedOperation", "MissingParameter", "InvalidAction"}, "the service does not take such a request",
		"check that the queue's URL and AWS_ENDPOINT_URL lead to the service; else report it", false, writer.Failed},

	// No usable answer.
	{[]string{"InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable"}, "AWS has a fault",
		"none needed if it passes: the call is retried; see the AWS Health Dashboard", false, writer.Failed},
	{[]string{codeTimeout}, "no answer came in time",
		"check the network, AWS_REGION and AWS_ENDPOINT_URL; raise WORKER_CALL_TIMEOUT if the way is slow", false, writer.Failed},
	{[]string{codeNetwork}, "the service can't be reached",
		"check the network, AWS_REGION and AWS_ENDPOINT_URL", false, writer.Failed},
	{[]string{codeNotAWS}, "the endpoint answers in HTML or XML, as no AWS service does; it is a proxy or another service",
		"check AWS_ENDPOINT_URL and HTTPS_PROXY", false, writer.Failed},
	{[]string{codeUnknown}, "the answer names no error",
		"check AWS_ENDPOINT_URL and HTTPS_PROXY", false, writer.Failed},
	{[]string{codeCanceled}, "the worker is stopping", "none needed", false, writer.Failed},
}
