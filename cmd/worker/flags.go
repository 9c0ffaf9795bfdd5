package main

import (
	"flag"
	"slices"
	"strings"
)

// flagsFirst puts the flags of a command line before its arguments, so that they may come in any order: package flag stops
// at the first argument. What follows "--" is an argument.
func flagsFirst(fs *flag.FlagSet, args []string) []string {
	var flags, rest []string
	for i := 0; i < len(args); i++ {
		name := strings.TrimLeft(args[i], "-")
		switch {
		case args[i] == "--":
			rest = append(rest, args[i+1:]...)
			i = len(args)
		case args[i] == "-" || name == args[i]:
			rest = append(rest, args[i])
		default:
			flags = append(flags, args[i])
			if f := fs.Lookup(name); f != nil && !isBool(f) && i+1 < len(args) { // its value is the next one
				i++
				flags = append(flags, args[i])
			}
		}
	}
	return slices.Concat(flags, []string{"--"}, rest)
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}
