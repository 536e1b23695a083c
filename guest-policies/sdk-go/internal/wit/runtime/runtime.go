//go:build wasm

// Package runtime is what the generated exports ask for: memory for values that cross the boundary. It takes the place of
// wit-bindgen's package of the same name, which also serves before Go's own start and therefore reaches into Go's
// runtime; a policy is only called after it.
package runtime

import (
	"runtime"
	"unsafe"
)

// What the host wrote for the call that is under way. The exports let go of it when they have read it.
var received runtime.Pinner

// Allocate gives memory that the garbage collector leaves where it is until it is unpinned.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Go aligns memory by what it is made of, and nothing in the contract needs more than eight bytes.
	var pointer unsafe.Pointer
	if align == 1 {
		pointer = unsafe.Pointer(unsafe.SliceData(make([]byte, size)))
	} else {
		pointer = unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	}
	pinner.Pin(pointer)
	return pointer
}

// Unpin lets go of what the host wrote.
func Unpin() { received.Unpin() }

//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if old != nil || oldSize != 0 {
		panic("the host asked for a value to grow, which the canonical ABI needs for other string encodings only")
	}
	return Allocate(&received, size, align)
}
