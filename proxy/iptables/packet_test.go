package iptables

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// packet is a virtual one that tests send through the rendered rules.
type packet struct {
	src, dst netip.Addr
	protocol string
	port     uint16

	sticky string // chain that `-m recent --rcheck` finds the source in
	choose int    // which statistic rule matches: 0 the first, …

	marked bool
}

// local are the node's own addresses.
var local = []netip.Addr{netip.MustParseAddr("10.89.0.11"), netip.MustParseAddr("127.0.0.1")}

// send walks the packet through the tables as the kernel would for one that arrives, and
// says where it ends: "10.244.0.5:8080", with "masqueraded" if so, "reject", "drop" or "no rule".
func (t tables) send(tb testing.TB, p packet) string {
	tb.Helper()
	verdict := t.walk(tb, t.nat, servicesChain, &p)
	if verdict == "" {
		if v := t.walk(tb, t.filter, refuseChain, &p); v != "" {
			return v
		}
		return "no rule"
	}
	if p.marked {
		verdict += " masqueraded"
	}
	return verdict
}

func (t tables) walk(tb testing.TB, chains Chains, chain string, p *packet) string {
	rules, ok := chains[chain]
	if !ok {
		tb.Fatalf("a rule jumps to chain %q, which does not exist", chain)
	}
	for _, rule := range rules {
		words := fields(rule)
		if !matches(tb, words, p) {
			continue
		}
		target := words[slices.Index(words, "-j")+1]
		switch target {
		case "MARK":
			p.marked = true
		case "DNAT":
			return words[len(words)-1]
		case "REJECT", "DROP":
			return strings.ToLower(target)
		case "RETURN":
			return ""
		default:
			if v := t.walk(tb, chains, target, p); v != "" {
				return v
			}
		}
	}
	return ""
}

// fields splits a rule at spaces outside quotation marks.
func fields(rule string) []string {
	quoted := false
	return strings.FieldsFunc(rule, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

func matches(tb testing.TB, words []string, p *packet) bool {
	negate := false
	for i := 0; i < len(words); i++ {
		argument := func() string { i++; return words[i] }
		ok := true
		switch word := words[i]; word {
		case "!":
			negate = true
			continue
		case "-s":
			ok = netip.MustParsePrefix(argument()).Contains(p.src)
		case "-d":
			ok = netip.MustParsePrefix(argument()).Contains(p.dst)
		case "-p":
			ok = argument() == p.protocol
		case "--dport":
			ok = argument() == strconv.Itoa(int(p.port))
		case "--dst-type":
			argument()
			ok = slices.Contains(local, p.dst)
		case "--src-type":
			argument()
			ok = slices.Contains(local, p.src)
		case "--probability":
			argument()
			ok = p.choose == 0
			p.choose--
		case "--rcheck":
			ok = p.sticky != "" && words[i-1] == p.sticky
		case "-m", "--mode", "--comment", "--name", "--seconds":
			argument()
		case "--reap", "--set":
		case "-j":
			return true
		default:
			tb.Fatalf("the virtual kernel does not know %q in %q", word, strings.Join(words, " "))
		}
		if ok == negate {
			return false
		}
		negate = false
	}
	return true
}

func (p packet) String() string {
	return fmt.Sprintf("%s %s -> %s:%d", p.protocol, p.src, p.dst, p.port)
}
