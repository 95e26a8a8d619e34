// Package settings is the one table behind flags, environment variables, the
// configuration file and their help texts.
//
// A command describes each of its settings by one Row. From the rows come the
// flags (Bind), the TASKRAFT_* variables, the keys of the YAML file (ReadFile),
// the usage texts and `taskraft config show`. Resolve takes each value from the
// strongest place that has it,
//
//	flag > environment > file > default
//
// and returns every problem at once, each with the places where the setting can
// be given. Nothing here opens, binds or writes anything but the file it reads.
//
//	row.go       Row and Table
//	flags.go     rows as pflag flags, unknown flags
//	file.go      strict YAML: unknown and duplicate keys, encodings
//	resolve.go   precedence, environment, problems
//	value.go     values: text, numbers, durations, sizes, choices
//	address.go   values: listen and dial addresses, peers
//	suggest.go   the nearest known name
package settings
