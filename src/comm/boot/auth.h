/* auth.h - proving knowledge of the job key: keyed BLAKE2b over labelled transcripts.
 *
 * A MAC is bound to its label (who speaks, in which protocol) and to both byte strings with their
 * lengths, so no proof is good anywhere else. Comparison takes the same time for every input. */
#ifndef EPX_COMM_BOOT_AUTH_H
#define EPX_COMM_BOOT_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/boot/boot.h"

#define EPX_MAC_BYTES 32
#define EPX_NONCE_BYTES 32
#define EPX_JOB_ID_BYTES 16

/* Before anything else here; may be called again. */
EPX_NODISCARD epx_status epx_auth_init(void);

void epx_auth_random(void *bytes, size_t n);
void epx_auth_wipe(void *bytes, size_t n); /* is not optimised away */

void epx_auth_mac(const uint8_t key[EPX_KEY_BYTES], const char *label, const void *a,
                  size_t a_bytes, const void *b, size_t b_bytes, uint8_t mac_out[EPX_MAC_BYTES]);
bool epx_auth_equal(const uint8_t a[EPX_MAC_BYTES], const uint8_t b[EPX_MAC_BYTES]);

/* What jobs are told apart by, before anything is proved: of the key when there is one (NULL: none)
 * and of the launcher's name for the job. Does not betray the key. */
void epx_auth_job_id(const uint8_t *key, const char *identity, uint8_t id_out[EPX_JOB_ID_BYTES]);

#endif /* EPX_COMM_BOOT_AUTH_H */
