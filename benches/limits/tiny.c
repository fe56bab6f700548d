/* A child that ends at once, without the start-up of a C library: what remains of a task's time is
 * its supervisor's. Built with `-nostdlib -static`. */

void _start(void) {
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(60), "D"(0) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long number __asm__("x8") = 93;
    register long status __asm__("x0") = 0;
    __asm__ volatile("svc 0" : : "r"(number), "r"(status) : "memory");
#else
#error "exit() without libc is not written down for this processor"
#endif
    __builtin_unreachable();
}
