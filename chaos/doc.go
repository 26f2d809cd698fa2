// Package chaos holds the proofs that run the real engine and real NATS servers
// as processes: killed, paused, cut off, replaced, they lose nothing, double
// nothing and keep each twin's order. What each one shows, and the command that
// runs it in its long form, is in docs/proofs.md.
package chaos
