// Package health answers whether a master lives (/livez) and whether it should get
// requests (/readyz). Each check of readiness says why it fails.
package health
