package kubelet

// CheckNode has the node's conditions computed again: a collaborator calls it when its
// readiness changed.
func (k *Kubelet) CheckNode() { k.node.Check() }
