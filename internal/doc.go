// Package internal holds what the module's packages share and no one else needs; its test keeps their imports in order.
package internal
