# How every target of epx is compiled: language, warnings, sanitizers, hardening.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT multi_config AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release or RelWithDebInfo" FORCE)
endif()
option(EPX_WERROR "treat warnings as errors" ON)
set(EPX_SANITIZE "" CACHE STRING "sanitizers, e.g. address,undefined or thread")

add_library(epx_flags INTERFACE)
target_compile_definitions(epx_flags INTERFACE _GNU_SOURCE)
target_compile_options(epx_flags INTERFACE -ffp-contract=off -fno-math-errno -fno-trapping-math
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes)
target_include_directories(epx_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
if(EPX_WERROR)
  target_compile_options(epx_flags INTERFACE -Werror)
endif()

if(EPX_SANITIZE)
  target_compile_options(epx_flags INTERFACE -fsanitize=${EPX_SANITIZE} -fno-omit-frame-pointer
    -Wno-maybe-uninitialized) # instrumented code hides from gcc what is set where
  target_link_options(epx_flags INTERFACE -fsanitize=${EPX_SANITIZE})
  if(EPX_SANITIZE MATCHES "undefined")
    target_compile_options(epx_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
else()
  # Some distributions predefine _FORTIFY_SOURCE; a second definition alone would be a warning.
  target_compile_options(epx_flags INTERFACE
    $<$<CONFIG:Release>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2;-fstack-protector-strong>)
  target_link_options(epx_flags INTERFACE $<$<CONFIG:Release>:-Wl,-z,relro,-z,now>)
endif()
