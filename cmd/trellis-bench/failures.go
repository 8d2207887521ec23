package main

import (
	"github.com/spf13/cobra"
)

func failuresCommand() *cobra.Command {
	return &cobra.Command{Use: "failures"}
}
