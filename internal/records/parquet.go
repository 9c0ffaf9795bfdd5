package records

// parquetRows reads Parquet.
type parquetRows struct{ at int64 }

func (p *parquetRows) next() (r Record, blank int64, err error) { return }
func (p *parquetRows) seek(row int64) error                     { return nil }
