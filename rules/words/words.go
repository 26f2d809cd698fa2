// Package words writes numbers for people.
package words

import "strconv"

// Number is n with a comma between thousands: 22,695.
func Number(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// Count is so many of the noun, whose plural ends in s: "1 sample", "1,200 samples".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Number(n) + " " + noun + "s"
}
