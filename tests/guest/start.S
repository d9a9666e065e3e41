/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 64-bit entry of docs/machine.md: RDI = boot info, RSI = index of the CPU.
 *
 * These are also the first two arguments of guest_main(), so that all there is
 * to do is to find the CPU's stack.  A CPU without one halts.
 */
#include "tests/guest/guest.h"

#define STACK_SIZE 4096

    .text
    .globl start
start:
    cmpl $BOOT_MAGIC, (%rdi)
    jne halt
    cmp $MAX_CPUS, %rsi
    jae halt
    lea 1(%rsi), %rsp
    imul $STACK_SIZE, %rsp, %rsp
    add $stacks, %rsp
    call guest_main
halt:
    cli
    hlt
    jmp halt

    .bss
    .balign 16
stacks:
    .skip MAX_CPUS * STACK_SIZE

    .section .note.GNU-stack, "", @progbits
