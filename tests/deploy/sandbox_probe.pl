#!/usr/bin/perl
# Run as hearthd's service is: what the daemon needs is allowed, what it does not is refused. Exits with 1 and says what
# is otherwise.
# Usage: sandbox_probe.pl        (settings of the unit, an executable of its own)
use strict;
use warnings;
use POSIX qw(uname);

my $arm = (uname())[4] eq 'aarch64';
my $io_uring_setup = 425;
my $mlock = $arm ? 228 : 149;
my $bad = 0;

sub check {
  my ($what, $good) = @_;
  print(($good ? 'ok: ' : 'WRONG: '), $what, "\n");
  $bad = 1 unless $good;
}

sub can_read { open(my $file, '<', $_[0]) or return 0; return defined(readline($file)); }
sub can_write { open(my $file, '>', $_[0]) or return 0; close($file); unlink($_[0]); return 1; }

my $parameters = "\0" x 120;
check('io_uring can be used', syscall($io_uring_setup, 8, $parameters) >= 0);
my $memory = 'x' x (1 << 20);
check('memory can be locked', syscall($mlock, $memory, length($memory)) == 0);
check('/proc/meminfo can be read', can_read('/proc/meminfo'));
check('/proc/pressure/memory can be read', !-e '/proc/pressure/memory' || can_read('/proc/pressure/memory'));
check('models in home directories can be read', can_read('/home/somebody/model'));
check('home directories cannot be written', !can_write('/home/somebody/other'));
check('the state can be written', can_write("$ENV{STATE_DIRECTORY}" =~ s/:.*//r . '/probe'));
check('the cache can be written', can_write("$ENV{CACHE_DIRECTORY}/probe"));
check('settings cannot be written', !can_write('/etc/hearth/probe'));
check('others\' processes are not seen', !-e '/proc/1');
check('programs cannot become root', `setpriv --dump` =~ /no_new_privs: 1/);
check('the kernel\'s log cannot be read', !can_read('/dev/kmsg'));
exit($bad);
