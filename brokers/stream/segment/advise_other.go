//go:build !linux || !(amd64 || arm64)

package segment

import "os"

func adviseRandom(*os.File) bool { return false }

func adviseNeeded(*os.File, int64, int64) {}
