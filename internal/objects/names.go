package objects

// Skips reports whether an object holds no predictions, by its size and by the names in its key below a prefix: see Object.skips.
func Skips(key string, size int64, below string) bool {
	return (&Object{Key: key, Size: size}).skips(below)
}
