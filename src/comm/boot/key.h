/* key.h - where the job key comes from when no launcher carries one. */
#ifndef EPX_COMM_BOOT_KEY_H
#define EPX_COMM_BOOT_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/boot/boot.h"

/* Reads a regular file of 32 bytes that only its owner, us or root, can read; never follows a
 * link. EPX_ERR_AUTH says what is wrong with it. */
EPX_NODISCARD epx_status epx_key_read(const char *path, uint8_t key_out[EPX_KEY_BYTES]);

/* From EPX_JOB_KEY_FILE, when it is set. */
EPX_NODISCARD epx_status epx_key_find(uint8_t key_out[EPX_KEY_BYTES], bool *found_out);

/* There is no key: EPX_ERR_AUTH under EPX_SECURITY=require, else one loud line from rank 0. */
EPX_NODISCARD epx_status epx_key_missing(int32_t rank);

#endif /* EPX_COMM_BOOT_KEY_H */
