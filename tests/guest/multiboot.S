/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a Multiboot 1 loader (QEMU's -kernel) to the 64-bit entry in start.S.
 *
 * The loader enters in 32-bit protected mode without paging, EBX = multiboot
 * information.  Here the CPU is brought into the state of docs/machine.md, and
 * the boot info is made; the other CPUs are never started.  The header gives
 * the load addresses itself (flag 16), as QEMU refuses a 64-bit ELF otherwise.
 */
#include "tests/guest/guest.h"

#define HEADER_MAGIC 0x1badb002
#define HEADER_FLAGS 0x10002            /* addresses below; wants memory size */

/* The multiboot information. */
#define MBI_MEM_UPPER 8                 /* KiB of RAM above 1 MiB */
#define MBI_CMDLINE 16

#define CR0_PG 0x80000000
#define CR0_EM 0x4
#define CR4_PAE_OSFXSR 0x220
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

#define PRESENT_WRITABLE 0x3
#define LARGE_PAGE 0x80

    .section .multiboot, "a"
    .balign 4
header:
    .long HEADER_MAGIC
    .long HEADER_FLAGS
    .long -(HEADER_MAGIC + HEADER_FLAGS)
    .long header
    .long guest_start
    .long guest_data_end
    .long guest_end
    .long start32

    .text
    .code32
start32:
    mov $pml4, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $CR4_PAE_OSFXSR, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov %cr0, %eax
    and $~CR0_EM, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $(gdt_code - gdt), $start64

    .code64
start64:
    mov $(gdt_data - gdt), %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %ebx, %ebx                      /* clears the upper half */

    mov MBI_MEM_UPPER(%rbx), %eax
    add $1024, %rax
    shl $10, %rax
    mov %rax, boot_info_ram

    mov MBI_CMDLINE(%rbx), %edi
    mov %rdi, boot_info_cmdline
    xor %eax, %eax
    mov $-1, %ecx
    cld
    repne scasb
    not %ecx
    dec %ecx
    mov %ecx, boot_info_cmdline_length

    mov $boot_info, %edi
    xor %esi, %esi
    jmp start

    .data
    .balign 8
boot_info:
    .long BOOT_MAGIC, 1
boot_info_ram:
    .quad 0
    .long 1                             /* CPUs */
boot_info_cmdline_length:
    .long 0
boot_info_cmdline:
    .quad 0

    .balign 8
gdt:
    .quad 0
gdt_code:
    .quad 0x00af9b000000ffff
gdt_data:
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt

    /* The identity map: 4 GiB in pages of 2 MiB. */
    .balign 4096
pml4:
    .quad page_directories - 4096 + PRESENT_WRITABLE
    .balign 4096
    .quad page_directories + PRESENT_WRITABLE
    .quad page_directories + 0x1000 + PRESENT_WRITABLE
    .quad page_directories + 0x2000 + PRESENT_WRITABLE
    .quad page_directories + 0x3000 + PRESENT_WRITABLE
    .balign 4096
page_directories:
    .set address, 0
    .rept 2048
    .quad address + LARGE_PAGE + PRESENT_WRITABLE
    .set address, address + 0x200000
    .endr

    .section .note.GNU-stack, "", @progbits
