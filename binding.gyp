{
  "variables": {
    "werror%": "<!(node -p \"process.env.I915_USERPTR_WERROR === '1' ? 1 : 0\")",
  },
  "targets": [
    {
      "target_name": "i915_userptr",
      # gyp reads this list when it makes the Makefile: a new file needs `npm run build:native`.
      "sources": [
        "<!@(find native/addon native/drm native/gpu native/mem native/soft native/stress native/sync -name '*.cpp' | LC_ALL=C sort)"
      ],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      # Version 10 crashes Node 20 at load.
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_REQUIRE_BASIC_FINALIZERS"],
      "cflags!": ["-fno-exceptions", "-O3"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20", "-std=c++17"],
      # Hidden: the addon's own calls need no PLT, and two copies of it in a process do not mix.
      "cflags_cc": ["-std=c++20", "-O2", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-cast-function-type"],
      "libraries": ["-pthread"],
      "conditions": [["werror==1", {"cflags_cc": ["-Werror"]}]]
    }
  ]
}
