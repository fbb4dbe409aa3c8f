/* handshake.h - the mutual proof that both ends of a connection belong to one job.
 *
 *     guest                                   host (rank 0 of the star)
 *     HELLO      job id, nonce, claim      ->
 *                                          <- CHALLENGE  job id, nonce, claim, cookie, MAC
 *     PROOF      MAC                       ->
 *
 * Both MACs cover the hello and the challenge, hence job id, ranks, world sizes, versions and both
 * nonces. The host proves first: that costs it a hash, and a guest never speaks to an impostor. In
 * a job without key the challenge hands out a random cookie, which then takes the key's place: that
 * keeps accidents apart, not attackers. Pure functions. */
#ifndef EPX_COMM_BOOT_HANDSHAKE_H
#define EPX_COMM_BOOT_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/boot/auth.h"
#include "comm/boot/frame.h"

#define EPX_CLAIM_BYTES 20
#define EPX_HELLO_BYTES (EPX_JOB_ID_BYTES + EPX_NONCE_BYTES + EPX_CLAIM_BYTES)
#define EPX_CHALLENGE_BYTES (EPX_HELLO_BYTES + EPX_KEY_BYTES + EPX_MAC_BYTES)

/* What a rank says about itself; compared once it is known to be of the job. */
typedef struct epx_claim {
    int32_t rank;
    int32_t world_size;
    uint32_t library; /* epx_version() */
    uint32_t wire;    /* EPX_WIRE_VERSION */
    bool keyed;
} epx_claim;

typedef struct epx_ident {
    epx_claim claim;
    uint8_t job_id[EPX_JOB_ID_BYTES];
    uint8_t key[EPX_KEY_BYTES]; /* without key: the cookie, known to the guest after CHALLENGE */
} epx_ident;

void epx_hello_make(const epx_ident *guest, uint8_t hello_out[EPX_HELLO_BYTES]);

/* Host. EPX_ERR_AUTH when the hello is of another job or the frame is none. */
EPX_NODISCARD epx_status epx_hello_read(const epx_ident *host, const epx_boot_frame *frame,
                                        epx_claim *claim_out);
void epx_challenge_make(const epx_ident *host, const uint8_t hello[EPX_HELLO_BYTES],
                        uint8_t challenge_out[EPX_CHALLENGE_BYTES]);

/* Guest. EPX_ERR_AUTH when the host did not prove itself. Takes the cookie into guest->key. */
EPX_NODISCARD epx_status epx_challenge_answer(epx_ident *guest,
                                              const uint8_t hello[EPX_HELLO_BYTES],
                                              const epx_boot_frame *frame, epx_claim *claim_out,
                                              uint8_t proof_out[EPX_MAC_BYTES]);
/* Host. */
bool epx_proof_good(const epx_ident *host, const uint8_t hello[EPX_HELLO_BYTES],
                    const uint8_t challenge[EPX_CHALLENGE_BYTES], const epx_boot_frame *frame);

#endif /* EPX_COMM_BOOT_HANDSHAKE_H */
