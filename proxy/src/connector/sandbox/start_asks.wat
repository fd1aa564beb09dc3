;; A component that asks while it is instantiated how much time there is, and says with `count` what it heard.
(component
  (import "ferrata:connector/context@0.1.0" (instance $context
    (export "remaining-ms" (func (result u64)))))
  (core func $remaining (canon lower (func $context "remaining-ms")))
  (core module $asker
    (import "host" "remaining" (func $remaining (result i64)))
    (global $heard (mut i32) (i32.const -1))
    (func $start (global.set $heard (i32.wrap_i64 (call $remaining))))
    (start $start)
    (func (export "nothing"))
    (func (export "count") (result i32) (global.get $heard)))
  (core instance $host (export "remaining" (func $remaining)))
  (core instance $asker (instantiate $asker (with "host" (instance $host))))
  (func $nothing (canon lift (core func $asker "nothing")))
  (func (export "count") (result u32) (canon lift (core func $asker "count")))
  (instance $manifest (export "describe" (func $nothing)))
  (instance $tools (export "list-tools" (func $nothing)) (export "call" (func $nothing)))
  (export "ferrata:connector/manifest@0.1.0" (instance $manifest))
  (export "ferrata:connector/tools@0.1.0" (instance $tools)))
