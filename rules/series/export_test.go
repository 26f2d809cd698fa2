package series

// MaxTime is the latest time of a sample.
const MaxTime = maxTime
