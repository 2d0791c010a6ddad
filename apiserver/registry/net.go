package registry

import "net"

// isIPv6 tells whether s is an IPv6 address; it is false for what is no address at all.
func isIPv6(s string) bool {
	ip := net.ParseIP(s)
	return ip != nil && ip.To4() == nil
}
