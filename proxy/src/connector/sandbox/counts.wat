;; A component that counts how often `count` is called, in memory that lives as long as its sandbox.
(component
  (core module $counter
    (global $calls (mut i32) (i32.const 0))
    (func (export "nothing"))
    (func (export "count") (result i32)
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (global.get $calls)))
  (core instance $counter (instantiate $counter))
  (func $nothing (canon lift (core func $counter "nothing")))
  (func (export "count") (result u32) (canon lift (core func $counter "count")))
  (instance $manifest (export "describe" (func $nothing)))
  (instance $tools (export "list-tools" (func $nothing)) (export "call" (func $nothing)))
  (export "ferrata:connector/manifest@0.1.0" (instance $manifest))
  (export "ferrata:connector/tools@0.1.0" (instance $tools)))
