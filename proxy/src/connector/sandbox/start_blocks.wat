;; A component that waits for 584 years while it is instantiated, and is never called.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $pollable (eq $outer)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core module $sleeper
    (import "host" "block" (func $block (param i32)))
    (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
    (func $start (call $block (call $subscribe (i64.const -1))))
    (start $start)
    (func (export "nothing")))
  (core instance $host
    (export "block" (func $block))
    (export "subscribe" (func $subscribe)))
  (core instance $sleeper (instantiate $sleeper (with "host" (instance $host))))
  (func $nothing (canon lift (core func $sleeper "nothing")))
  (instance $manifest (export "describe" (func $nothing)))
  (instance $tools (export "list-tools" (func $nothing)) (export "call" (func $nothing)))
  (export "ferrata:connector/manifest@0.1.0" (instance $manifest))
  (export "ferrata:connector/tools@0.1.0" (instance $tools)))
