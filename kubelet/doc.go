// Package kubelet runs the pods that are bound to one node: it watches them, brings the
// container runtime, the network and the volumes to what they ask for, and reports what
// it sees in their status. One goroutine per pod walks the table of kubelet/lifecycle.
//
// It keeps no state of its own on disk: everything is found again from the labels of the
// containers and from the API. It refuses static pods, cloud providers, device plugins
// and volume drivers.
package kubelet
