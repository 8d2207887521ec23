// Package arch holds the rules that a compiler does not: which package may import which, which packages are
// pure, and what no file of the repository may contain. The rules are in imports.txt, one arrow to a line, so
// that a new arrow is a line in a diff that somebody reads. The package has no code of its own, only tests.
package arch
