// Package auth turns a token into a [Grant]: what its holder may publish and
// subscribe to, and until when. Every door of a node asks the same [Verifier],
// so that no protocol can be a way around another.
//
// A token is a JWT signed with EdDSA (or ES256; HS256 only where a key set was
// loaded with it allowed). The key is found by "kid" in a local [KeySet], and the
// algorithm is the key's: the header's word is only compared with it. Claims are
// those of moq-dev's tokens: "root", "put" and "get", next to the registered
// "sub", "exp", "nbf", "iat", "jti", "iss" and "aud". What a token does not say
// is denied.
//
// Nodes hold public keys only. The signing half, [PrivateKey], is for the
// operator's command and for programs that hand out tokens.
//
// All types are safe for concurrent use once built.
package auth
