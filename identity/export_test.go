package identity

// SignES256 signs a text as tokens are signed.
func SignES256(text string, k Key) ([]byte, error) { return es256k{}.Sign(text, k) }
