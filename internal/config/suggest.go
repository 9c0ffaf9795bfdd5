package config

// Suggest returns the setting whose name is nearest to a mistyped one, or nothing if none is near.
func Suggest(name string) string {
	const near = 2 // letters to change, insert or remove
	best, distance := "", near+1
	for _, s := range Settings() {
		if d := editDistance(name, s.Name); d < distance {
			best, distance = s.Name, d
		}
	}
	return best
}

// editDistance is the number of letters to change, insert or remove to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
