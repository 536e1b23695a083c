;; The world as a policy sees it: there is none. Go's runtime expects WASI (preview 1); this answers in its place, so that
;; the component imports nothing of it. `wasm-tools component new --adapt wasi_snapshot_preview1=nothing.wat` links it in.
;;
;; The clock stands still, random numbers are zeros, there are no arguments, no environment and no files, and what is
;; written is dropped. Who waits or exits, crashes. The numbers that are answered are errno of WASI: 0 is success, 8 is
;; "bad file descriptor".
(module
  (import "env" "memory" (memory 0))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $time i32) (result i32)
    ;; Go refuses to start at 0.
    (i64.store (local.get $time) (i64.const 1))
    (i32.const 0))
  (func (export "random_get") (param $bytes i32) (param $length i32) (result i32)
    (memory.fill (local.get $bytes) (i32.const 0) (local.get $length))
    (i32.const 0))

  (func $nothing_of_it (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $nothing_of_it))
  (export "environ_sizes_get" (func $nothing_of_it))
  (func $nothing_to_get (param i32 i32) (result i32) (i32.const 0))
  (export "args_get" (func $nothing_to_get))
  (export "environ_get" (func $nothing_to_get))

  (func $no_file_1 (param i32) (result i32) (i32.const 8))
  (func $no_file_2 (param i32 i32) (result i32) (i32.const 8))
  (func $no_file_3 (param i32 i32 i32) (result i32) (i32.const 8))
  (func $no_file_4 (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (export "fd_close" (func $no_file_1))
  (export "fd_fdstat_get" (func $no_file_2))
  (export "fd_fdstat_set_flags" (func $no_file_2))
  (export "fd_prestat_get" (func $no_file_2))
  (export "fd_prestat_dir_name" (func $no_file_3))
  (export "fd_read" (func $no_file_4))
  (export "fd_write" (func $no_file_4))

  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "poll_oneoff") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "proc_exit") (param i32) unreachable))
