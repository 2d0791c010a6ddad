package kind

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// IsIPv6 tells whether s is an IPv6 address; it is false for what is no address at all.
func IsIPv6(s string) bool {
	ip := net.ParseIP(s)
	return ip != nil && ip.To4() == nil
}

// ValidateEndpointIP refuses addresses that would let an endpoint point at the node
// itself or at everybody.
func ValidateEndpointIP(value string, path *field.Path) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if errs := utilvalidation.IsValidIP(path, value); len(errs) > 0 {
		return errs
	}
	ip := net.ParseIP(value)
	var errs field.ErrorList
	for _, refused := range []struct {
		is   bool
		what string
	}{
		{ip.IsUnspecified(), "may not be unspecified (0.0.0.0 or ::)"},
		{ip.IsLoopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
		{ip.IsLinkLocalUnicast(), "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
		{ip.IsLinkLocalMulticast(), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
	} {
		if refused.is {
			errs = append(errs, field.Invalid(path, value, refused.what))
		}
	}
	return errs
}

// ValidateProtocol refuses what no port can speak.
func ValidateProtocol(p corev1.Protocol, path *field.Path) field.ErrorList {
	return RequiredOneOf(p, path, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
}

// FirstFew joins the first three of many with commas: "a,b,c + 2 more...".
func FirstFew(all []string) string {
	const few = 3
	if len(all) == 0 {
		return None
	}
	if len(all) <= few {
		return strings.Join(all, ",")
	}
	return strings.Join(all[:few], ",") + " + " + strconv.Itoa(len(all)-few) + " more..."
}
